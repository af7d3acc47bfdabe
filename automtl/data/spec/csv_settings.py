"""What a data set's YAML can say of how its text files are written: `csv`."""

import codecs
import re
from typing import Annotated, Self

from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from automtl.data.spec.features import Name
from automtl.strict import Strict, nearest

# as YAML leaves it in single quotes, and in none
_ESCAPE = re.compile(r"\\(t|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")
_PATTERN = re.compile(r"\\.|\[.*\]$|.+[+*]$")
_ENCODINGS = (
    "utf-8 utf-16 utf-16-le utf-16-be latin-1 cp1250 cp1251 cp1252 gbk gb18030 big5 shift_jis "
    "euc_jp euc_kr koi8_r".split()
)


class Csv(Strict):
    """How CSV files are written, where that is not plain."""

    delimiter: str = Setting(
        ",",
        min_length=1,
        max_length=8,
        description='Between values: one sign, as "\\x01", or several, as "::".',
    )
    columns: tuple[Name, ...] = Setting(
        (), description="The columns' names, for files without a header."
    )
    skip: int = Setting(
        0,
        ge=0,
        le=1000,
        description="Lines before the header to pass over; with columns, before the first row.",
    )
    encoding: str = Setting(
        "utf-8", description="How texts are written, such as gbk, latin-1 or utf-16."
    )
    null_values: tuple[Annotated[str, Setting(max_length=200)], ...] | None = Setting(
        None,
        description="The words for a missing value, in place "
        "of the usual ones; an empty one is missing "
        "in any case.",
    )
    quote: str = Setting(
        '"',
        description="The sign around values that hold delimiters "
        "or line breaks; none: every sign is "
        "text.",
    )

    @field_validator("delimiter")
    @classmethod
    def _delimiter_is_signs(cls, written: str) -> str:
        signs = _ESCAPE.sub(
            lambda match: "\t" if match[1] == "t" else chr(int(match[1][1:], 16)), written
        )
        if "\n" in signs or "\r" in signs:
            raise ValueError("cannot hold a line break: it ends rows")
        if len(signs) > 1 and _PATTERN.match(signs):
            raise ValueError("must be the signs themselves, not a pattern")
        return signs

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, name: str) -> str:
        try:
            "".encode(name)  # refuses what is no encoding of texts, such as base64
            return codecs.lookup(name).name
        except (LookupError, ValueError):
            raise ValueError(
                f"must be an encoding that Python knows ({nearest(name, _ENCODINGS)})"
            ) from None

    @field_validator("quote")
    @classmethod
    def _quote_is_one_sign(cls, quote: str) -> str:
        if quote != "none" and not (
            len(quote) == 1 and quote.isascii() and quote.isprintable() and not quote.isalnum()
        ):
            raise ValueError("must be one ASCII sign, or none")
        return quote

    @model_validator(mode="after")
    def _quote_fits(self) -> Self:
        if self.quote_sign and self.quote in self.delimiter:
            raise ValueError("quote must be another sign than the delimiter")
        if (
            len(self.delimiter.encode()) > 1
            and "quote" in self.model_fields_set
            and self.quote != "none"
        ):
            raise ValueError(
                "quote cannot be given with a delimiter of several signs or beyond ASCII: there "
                "every sign is text"
            )
        return self

    @property
    def quote_sign(self) -> bytes:
        """The sign that quotes values; b"" where none does, as between delimiters of several signs
        or beyond ASCII.
        """
        return (
            b"" if self.quote == "none" or len(self.delimiter.encode()) > 1 else self.quote.encode()
        )
