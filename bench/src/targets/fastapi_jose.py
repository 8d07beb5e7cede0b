"""The same route on FastAPI: token and scopes checked as its tutorial does it, with python-jose."""

from os import environ
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Security, status
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from jose import JWTError, jwk, jwt
from pydantic import BaseModel

ALGORITHM = "ES256"
# The tutorial hands the text to every jwt.decode(), which makes a key of it each time.
public_key = environ["PUBLIC_KEY"]
if environ["KEY_MADE"] == "once":
    public_key = jwk.construct(public_key, ALGORITHM)

oauth2_scheme = OAuth2PasswordBearer(
    tokenUrl="token", scopes={"items:read": "Read items"}
)
app = FastAPI()


class Caller(BaseModel):
    subject: str
    scopes: list[str]


class Quote(BaseModel):
    id: UUID
    priceCents: int
    currency: str
    quotedTo: str


async def get_caller(
    security_scopes: SecurityScopes, token: str = Depends(oauth2_scheme)
) -> Caller:
    challenge = {"WWW-Authenticate": f'Bearer scope="{security_scopes.scope_str}"'}
    try:
        claims = jwt.decode(
            token,
            public_key,
            algorithms=[ALGORITHM],
            audience=environ["AUDIENCE"],
            issuer=environ["ISSUER"],
        )
        caller = Caller(subject=claims["sub"], scopes=claims["scope"].split())
    except (JWTError, KeyError, ValueError):
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED, "Could not validate credentials", challenge
        )
    for scope in security_scopes.scopes:
        if scope not in caller.scopes:
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED, "Not enough permissions", challenge
            )
    return caller


@app.get("/quotes/{id}", response_model=Quote)
async def read_quote(
    id: UUID, caller: Caller = Security(get_caller, scopes=["items:read"])
) -> Quote:
    return Quote(id=id, priceCents=1290, currency="EUR", quotedTo=caller.subject)
