"""Schemas of the statistics."""

from marshmallow import fields

from ..api.fields import ResponseSchema


class DailyStatsSchema(ResponseSchema):
    """Signups and created movies on one day in UTC."""

    date = fields.Date(metadata={"example": "2026-01-31"})
    signups = fields.Integer(metadata={"example": 3})
    creates = fields.Integer(metadata={"example": 14})


class ServiceStatsSchema(ResponseSchema):
    """Totals, and counts for each of the last 30 days."""

    users = fields.Integer(metadata={"example": 210})
    movies = fields.Integer(metadata={"example": 5400})
    active_sessions = fields.Integer(metadata={"example": 160})
    days = fields.List(fields.Nested(DailyStatsSchema))
