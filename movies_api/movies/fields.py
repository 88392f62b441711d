"""The fields of a movie, for every schema that has them."""

from typing import Any

from ..fields import Text, WebAddress


class Title(Text):
    """What the movie is called."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what fields take."""
        super().__init__(min=1, max=255, **kwargs)


class ImageUrl(WebAddress):
    """Where its picture is, or the picture itself."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what fields take."""
        super().__init__(max=2048, allow_none=True, data_key="imageUrl", **kwargs)
