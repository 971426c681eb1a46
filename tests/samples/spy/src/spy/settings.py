from pydantic import BaseModel


class SpySettings(BaseModel):
    """Nobody says what they are for."""

    target: str = "everybody"
