"""How a sender proves who it is: the schemes that a source can have, as settings. `streams/ingest/auth.py` checks them at the door.

Token, Basic, HMAC and Standard Webhooks serve any sender; the others are one sender's own (its preset names them). ClickBank's is the only
one that the ledger needs as well: its payloads come encrypted, are kept as they came, and are opened to be read (streams/sealed.py).
"""

from typing import Annotated, Literal

from pydantic import Field

from schemas.policies import Entity, Name, Secret

Seconds = Annotated[int, Field(ge=1, le=86_400)]


class TokenAuth(Entity):
    """A shared token, in a header or in a query parameter."""

    kind: Literal["token"]
    token: Secret
    header: Name | None = None
    parameter: Name | None = "token"


class HmacAuth(Entity):
    """A signature over the raw body."""

    kind: Literal["hmac"]
    secret: Secret
    header: Name
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field(default="", description="what stands before the signature, for example sha256=")


class StandardWebhookAuth(Entity):
    """Signatures of standardwebhooks.com."""

    kind: Literal["standard_webhooks"]
    secret: Secret


class BasicAuth(Entity):
    """User name and password in the Authorization header, as ShareASale offers them."""

    kind: Literal["basic"]
    user: Name
    password: Secret


class StripeAuth(Entity):
    """Stripe-Signature: t and v1, HMAC-SHA-256 over time and body."""

    kind: Literal["stripe"]
    secret: Secret = Field(description="the endpoint's signing secret, whsec_…")
    tolerance_s: Seconds = Field(default=300, description="how old or new a signature may be")


class Digistore24Auth(Entity):
    """sha_sign: SHA-512 over the form's sorted fields, each with the passphrase behind it."""

    kind: Literal["digistore24"]
    secret: Secret = Field(description="the IPN's passphrase")


class ClickBankAuth(Entity):
    """The notification is encrypted (AES-256-CBC): who can write one that opens has the secret."""

    kind: Literal["clickbank"]
    secret: Secret = Field(description="the INS secret key of the ClickBank account")


Auth = Annotated[
    TokenAuth | BasicAuth | HmacAuth | StandardWebhookAuth | StripeAuth | Digistore24Auth | ClickBankAuth, Field(discriminator="kind")
]
