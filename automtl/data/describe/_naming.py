"""What a column's name says of it. English words only: the values have their say wherever a name
says nothing.
"""

import re
from typing import Literal

NameKind = Literal["id", "class", "quantity"]
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_IDS = frozenset(
    "id uid iid pid uuid guid code zip zipcode postcode postal plz pin sku asin isbn ean upc "
    "gtin key hash cookie ip no nr".split()
)
_CLASSES = frozenset(
    """category subcategory cat cate class subclass type kind group subgroup segment cluster
    department dept division brand region city state country province district county store
    shop branch warehouse merchant seller vendor supplier advertiser campaign creative
    publisher channel source medium device browser os platform page slot tab user customer
    client member visitor item product article movie film song track artist album author
    book video genre language lang gender sex occupation job profession dow weekday month
    hour domain site app color colour model version zone route airport carrier airline hotel
    cuisine tag level grade tier""".split()
)
_STEMS = _CLASSES | frozenset(
    "ad news doc query session order visit zip pin post area transaction trans review".split()
)
_QUANTITIES = frozenset(
    """price cost fee amount amt revenue spend spent value income salary wage balance budget
    bid discount tax profit margin gain loss count cnt num qty quantity total sum avg
    average mean median max min std rate ratio pct percent percentage score prob probability
    age duration ms sec length len width height weight size distance depth volume lat
    latitude lon lng longitude temperature temp humidity speed population frequency freq
    recency days hours minutes seconds years months weeks times words""".split()
)
_COUNTS = frozenset(
    "num n nb count cnt number total sum avg average mean max min days hours years minutes "
    "months weeks".split()
)
_OUTCOMES = frozenset(
    """label target y outcome response click clicked clk buy bought purchase purchased
    ordered reorder reordered conv convert converted conversion cvr cart carted basket fav
    favorite favourite favorited favourited like liked dislike disliked follow followed
    share shared forward forwarded comment commented view viewed watch watched rating star
    install installed download downloaded subscribe subscribed churn churned return returned
    refund refunded cancel cancelled canceled booked play played skip skipped finish
    finished complete completed recommend recommended vote voted upvote upvoted hate hated
    report reported signup survived fraud spam won success engaged reply replied retweet
    open opened saved wishlist wishlisted collect collected redeem redeemed attributed enter
    entered defaulted responded accepted approved rejected renewed retained satisfied loved
    sold attended joined applied hired contacted read hit event action behavior behaviour
    choice chosen selected result""".split()
)
_ATTRIBUTES = frozenset(
    """gender sex male female man woman mobile desktop tablet ios android iphone web weekend
    weekday holiday workday night member membership premium vip prime pro new first adult
    child children kid married single student smoker owner employed sponsored promoted promo
    promotion discounted sale featured verified available stock organic logged registered
    subscriber imported domestic foreign urban rural peak wifi login guest email phone
    seasonal rand random""".split()
)
_MEANS = frozenset("avg average mean".split())
_RATINGS = frozenset("rating star overall".split())
_TARGETS = frozenset("label target y outcome class depvar".split())
_MANY_OUTCOMES = frozenset("event action behavior behaviour choice outcome response result".split())
_FILLERS = frozenset("is has did was flag ind indicator yn bool binary value type".split())
_LATE = re.compile(r"(stay|play|watch|dwell|view|read)(?:ing)?_?(time|ms|sec|duration)")
_RATES = frozenset("cnt count ctr cvr".split())
_OWN_TIMES = frozenset(
    "birth birthday born dob release released publish published expiry expires registered "
    "signup joined update".split()
)
HISTORIES = frozenset(
    "hist history seq sequence recent last past "
    "previous prev seen session behavior behaviour".split()
)
TAGS = frozenset(
    "tag genre category subcategory cate cat topic keyword feature attribute type interest "
    "color colour".split()
)


def parts(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: `isClick`, `PRODUCT_SUBCLASS`, `Clothing IDs` and `userid`
    come apart.
    """
    words = [word.lower() for word in _PART.findall(name.replace("IDs", "ids"))]
    return tuple(part for word in words for part in _unglued(word))


def _unglued(word: str) -> tuple[str, ...]:
    stems = (
        (word[: -len(end)], end)
        for end in ("id", "ids", "code", "codes", "no")
        if word.endswith(end)
    )
    return next((pair for pair in stems if pair[0] in _STEMS), (word,))


def singular(word: str) -> str:
    """A word without the `s` of a plural."""
    if word.endswith("ies") and len(word) > 4 and word not in ("movies", "series"):
        return word[:-3] + "y"
    plural = (
        len(word) > 2
        and word.endswith("s")
        and not word.endswith("ss")
        and word not in ("has", "was")
    )
    return word[:-1] if plural else word


def singulars(name: str) -> tuple[str, ...]:
    """The words of a name, each in the singular."""
    return tuple(map(singular, parts(name)))


def kind_by_name(name: str) -> NameKind | None:
    """Whether a column of numbers is by its name one of ids, of classes or of quantities; None
    where the name does not say.
    """
    words = [word for word in parts(name) if not word.isdecimal()]
    if not words:
        return None
    single = [singular(word) for word in words]
    if single[-1] in _IDS or single[0] == "id":
        return "id"
    if (len(words) > 1 and words[0] in _COUNTS) or {"per", "since"} & set(words):
        return "quantity"
    if words[-1] in _QUANTITIES:
        return "quantity"
    by_clock = "of" in words and {"hour", "day", "week", "month"} & set(words)
    return "class" if single[-1] in _CLASSES or by_clock else None


def is_outcome(name: str) -> bool:
    """Whether a word of the name is one for what a person did, or what came of it."""
    return bool(_OUTCOMES & set(singulars(name)))


def _last_that_counts(name: str) -> str:
    return next(
        (
            word
            for word in reversed(singulars(name))
            if word not in _FILLERS and not word.isdecimal()
        ),
        "",
    )


def ends_as_outcome(name: str) -> bool:
    """Whether the name's last word that counts is one for an outcome: `is_clicked`, `click_flag`,
    not `click_price`.
    """
    return _last_that_counts(name) in _OUTCOMES


def is_one_of_several_outcomes(name: str) -> bool:
    """Whether the name's last word that counts is one for an outcome of several kinds:
    `event_type`.
    """
    return _last_that_counts(name) in _MANY_OUTCOMES


def is_attribute(name: str) -> bool:
    """Whether a word of the name is one for a person, an item or a moment, known before any
    outcome.
    """
    return bool(_ATTRIBUTES & set(singulars(name)))


def asks_whether(name: str) -> bool:
    """Whether the name begins as a question about something done, `is_` or `did_`."""
    return parts(name)[:1] in (("is",), ("did",))


def is_rating(name: str) -> bool:
    """Whether the name is one for a person's rating, not for an average of ratings."""
    words = set(singulars(name))
    return bool(_RATINGS & words) and not (_MEANS | _RATES) & words


def is_target(name: str) -> bool:
    """Whether the name says that the column is what is to be predicted."""
    words = [word for word in singulars(name) if word not in ("true", "column")]
    return bool(words) and words[-1] in _TARGETS and len(words) <= 2


def is_plural(name: str) -> bool:
    """Whether the last word is a plural, as of what is counted."""
    words = parts(name)
    return bool(words) and singular(words[-1]) != words[-1]


def is_late(name: str) -> bool:
    """Whether a quantity is by its name known only after the outcome, or counts outcomes."""
    words = singulars(name)
    return bool(_LATE.search("_".join(words))) or (bool(words) and words[-1] in _RATES)


def is_time(name: str) -> bool:
    """Whether the name is one for a moment."""
    return bool(
        {"time", "timestamp", "ts", "date", "datetime", "epoch", "unix", "created"}
        & set(parts(name))
    )


def is_time_of_something_else(name: str) -> bool:
    """Whether a time is by its name that of a birth, a release and the like, not of the row."""
    return bool(_OWN_TIMES & set(parts(name)))
