"""What picture routes take and answer."""

from marshmallow import fields, validate

from ..api.fields import BoundedInteger, QuerySchema, RequestSchema, ResponseSchema
from .codec import FORMATS, WIDTHS

UPLOADED = f"https://api.example.com/images/{'7d0c9e52' * 4}"


class UploadCreateSchema(RequestSchema):
    """What is going to be uploaded."""

    content_type = fields.String(
        required=True,
        data_key="contentType",
        validate=validate.OneOf(list(FORMATS), error="Must be one of: {choices}."),
        metadata={"example": "image/jpeg"},
    )
    size = BoundedInteger(
        min=1,
        max=2**40,
        required=True,
        metadata={"example": 245760, "description": "In bytes, exactly."},
    )


class UploadUrlSchema(ResponseSchema):
    """How to upload: headers belong to a PUT; fields to the form of a POST, before the file."""

    upload_url = fields.Url(
        required=True,
        data_key="uploadUrl",
        metadata={"example": f"{UPLOADED}?permission=WyI1YzBhNGY.aXqF9w.Jm4uQ2sT8oXbZ1"},
    )
    method = fields.String(
        required=True, validate=validate.OneOf(["PUT", "POST"]), metadata={"example": "PUT"}
    )
    headers = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"example": {"Content-Type": "image/jpeg"}},
    )
    fields_ = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        data_key="fields",
        metadata={
            "description": "Each goes into the form before the file, which is named `file`.",
            "example": {},
        },
    )
    image_url = fields.Url(
        required=True,
        data_key="imageUrl",
        metadata={
            "description": "Give it to a movie once the upload is done.",
            "example": UPLOADED,
        },
    )
    expires_at = fields.DateTime(
        required=True, data_key="expiresAt", metadata={"example": "2026-01-31T12:10:00.000000Z"}
    )


class UploadedImageSchema(ResponseSchema):
    """Where the picture is."""

    image_url = fields.Url(
        required=True,
        data_key="imageUrl",
        metadata={"example": f"https://api.example.com/images/{'5c0a4f17' * 8}"},
    )


class UploadQuerySchema(QuerySchema):
    """The permission, as POST /images gave it."""

    permission = fields.String(
        required=True, metadata={"description": "It is in the uploadUrl of POST /images."}
    )


class ImageQuerySchema(QuerySchema):
    """Which size of it."""

    w = BoundedInteger(
        min=WIDTHS[0],
        max=WIDTHS[-1],
        load_default=None,
        validate=validate.OneOf(WIDTHS, error="Must be one of: {choices}."),
        metadata={
            "description": "Must be at most so many pixels wide, as WebP; without, as it is."
        },
    )
