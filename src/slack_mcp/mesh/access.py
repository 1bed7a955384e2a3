"""Where a Mesh is and who asks it."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from slack_mcp.core.errors import AgentNotConfiguredError
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshAccess:
    """One tenant's way into Mesh.

    Attributes:
        mesh_url: normalised, see `normalise_mesh_url`.
        bearer: an API key or a token of this tenant, and of no other.
    """

    mesh_url: str
    organization_slug: str | None
    bearer: Secret

    def get_organization_url(self) -> str | None:
        """Return the base of the organization's own routes, None while its slug is not known."""
        slug = self.organization_slug
        # Two dots would climb out of the route, quoted or not.
        if not slug or not slug.strip("."):
            return None
        return f"{self.mesh_url}/api/{quote(slug, safe='')}"

    def get_self_urls(self) -> list[str]:
        """Return the URLs of the management tools: the canonical one where it is known, then the older one.

        The older Mesh does not know the first, the newest may drop the second.
        """
        organization_url = self.get_organization_url()
        legacy = f"{self.mesh_url}/mcp/self"
        return [legacy] if organization_url is None else [f"{organization_url}/mcp/self", legacy]


def access_of(connection: Connection) -> MeshAccess:
    """Return the connection's way into Mesh, with its API key or else its last token.

    Raises:
        AgentNotConfiguredError: the connection did not come from a Mesh, or its configuration was never saved there.
    """
    bearer = connection.mesh_api_key or connection.mesh_token
    mesh_url = normalise_mesh_url(connection.mesh_url)
    if not bearer or mesh_url is None:
        raise AgentNotConfiguredError(
            "This connection has no access to Mesh: save its configuration in Mesh once, which gives it an API key."
        )
    return MeshAccess(mesh_url=mesh_url, organization_slug=connection.organization_slug, bearer=bearer)


def normalise_mesh_url(url: str) -> str | None:
    """Return `scheme://host[:port][/path]`, in small letters as far as the path and without a slash at the end.

    None when it is no plain web URL: with credentials, a query or a fragment it is not the name of a server.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    has_more = parts.username is not None or parts.password is not None or parts.query or parts.fragment
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or has_more:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    suffix = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{suffix}{parts.path.rstrip('/')}"
