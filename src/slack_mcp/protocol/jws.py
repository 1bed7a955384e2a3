"""The signature of a JSON Web Token, and nothing else of it: the rest is for whoever knows what the token must say."""

from typing import Final

import jwt

# The time comes from our clock, each refusal says what is wrong, and not every issuer sets the same claims.
SIGNATURE_ONLY: Final = jwt.PyJWT(
    {
        "verify_signature": True,
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "verify_aud": False,
        "verify_iss": False,
        "verify_sub": False,
        "verify_jti": False,
    }
)
