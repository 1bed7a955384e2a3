"""Mesh's management tools, as far as a configuration needs them."""

from collections.abc import Mapping
from typing import Any, Final

from slack_mcp.core.errors import MeshRefusedError
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.access import MeshAccess
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.mesh import MeshApiKey, MeshClaims

MAX_KEY_NAME_CHARS: Final = 64  # a longer name is refused
SELF_TOOLS: Final = (
    "COLLECTION_THREADS_CREATE",
    "COLLECTION_THREADS_DELETE",
    "COLLECTION_THREAD_MESSAGES_LIST",
    "AI_PROVIDER_KEY_LIST",
    "AI_PROVIDERS_LIST_MODELS",
)
"""The management tools that an agent turn may need. The newest Mesh grants a key nothing but what it lists."""


class MeshClient:
    """Makes API keys; implements `ports.mesh.MeshApi`."""

    def __init__(self, *, transport: MeshTransport) -> None:
        self._transport = transport

    async def create_api_key(self, claims: MeshClaims, *, name: str) -> MeshApiKey:
        """Return a new API key that does not expire and reaches what the saved configuration names, nothing else.

        Args:
            claims: verified; their token is the bearer, and the key belongs to its user.
            name: shown in Mesh's list of keys; cut to 64 characters.

        Raises:
            MeshRefusedError: Mesh refused, or its answer holds no key.
            MeshUnavailableError: no answer. Whether a key was made is unknown, so the call is never repeated here.
        """
        access = MeshAccess(mesh_url=claims.mesh_url, organization_slug=claims.organization_slug, bearer=claims.token)
        arguments = {
            "name": name[:MAX_KEY_NAME_CHARS] or "slack-mcp",
            "permissions": {"self": list(SELF_TOOLS)} | {binding: ["*"] for binding in _binding_ids(claims.state)},
        }
        result = await self._transport.call_tool(access, "API_KEY_CREATE", arguments, is_repeatable=False)
        key_id, key = result.get("id"), result.get("key")
        if not (isinstance(key_id, str) and isinstance(key, str) and key):
            raise MeshRefusedError("Mesh answered API_KEY_CREATE without a key.")
        return MeshApiKey(id=key_id, key=Secret(key))


def _binding_ids(state: Mapping[str, Any]) -> list[str]:
    """Return the ids of the connections and agents that the state binds, each once, in its order.

    A binding is `{"__type": "@deco/…", "value": id}`; an older state may hold the id as `id`. `SELF`, which Mesh puts
    in by itself, is no binding: it would open every management tool.
    """
    ids: dict[str, None] = {}
    for binding in state.values():
        if not isinstance(binding, dict) or not isinstance(binding.get("__type"), str):
            continue
        bound_id = binding.get("value") or binding.get("id")
        if isinstance(bound_id, str) and bound_id != "self" and not bound_id.endswith("_self"):
            ids[bound_id] = None
    return list(ids)
