"""An `Auth` object of the SDK, as a user writes one: everybody sees their own."""

from langgraph_sdk import Auth

auth = Auth()
USERS = {"Bearer a": "alice", "Bearer b": "bob", "Bearer r": "reader"}


@auth.authenticate
async def authenticate(authorization: str | None) -> Auth.types.MinimalUserDict:
    if authorization not in USERS:
        raise Auth.exceptions.HTTPException(status_code=401, detail="who are you?")
    identity = USERS[authorization]
    return {"identity": identity, "permissions": ["read"] if identity == "reader" else ["read", "write"]}


@auth.on
async def own(ctx: Auth.types.AuthContext, value: dict):
    return {"owner": ctx.user.identity}


@auth.on.threads.delete
async def nobody_deletes_for_bob(ctx: Auth.types.AuthContext, value: dict):
    if ctx.user.identity == "bob":
        return False
    return {"owner": ctx.user.identity}


@auth.on.threads.read
async def shared_ones_may_be_read(ctx: Auth.types.AuthContext, value: dict):
    return {"$or": [{"owner": ctx.user.identity}, {"shared": {"$contains": ctx.user.identity}}]}


@auth.on.threads.create_run
async def readers_dont_run(ctx: Auth.types.AuthContext, value: dict):
    assert "write" in ctx.permissions, "readers don't run"
    value["metadata"]["by"] = ctx.user.identity
    return {"owner": ctx.user.identity}


@auth.on.crons.search
async def own_crons(ctx: Auth.types.AuthContext, value: dict):
    value["metadata"] = {**value["metadata"], "owner": ctx.user.identity}


@auth.on.store
async def own_items(ctx: Auth.types.AuthContext, value: dict):
    value["namespace"] = (ctx.user.identity, *(value["namespace"] or ()))
