"""Schemas of kinds that Kubernetes itself does not have, as far as the chart uses them.

Source: https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitor
"""

from typing import Any, Final

TEXT: Final = {"type": "string", "minLength": 1}
LABELS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Final = {"type": "string", "pattern": "^(0|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"}


def _strict(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": items}


def _kind(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _strict("name", "namespace", name=TEXT, namespace=TEXT, labels=LABELS)
    version = {"const": "monitoring.coreos.com/v1"}
    return _strict(
        "apiVersion", "kind", "metadata", "spec", apiVersion=version, kind=TEXT, metadata=metadata, spec=spec
    )


_ENDPOINT: Final = _strict(
    "port",
    "path",
    port=TEXT,
    path=TEXT,
    interval=DURATION,
    scrapeTimeout=DURATION,
    authorization=_strict("credentials", type=TEXT, credentials=_strict("name", "key", name=TEXT, key=TEXT)),
)
_RULE: Final = {
    **_strict(
        "expr",
        record=TEXT,
        alert=TEXT,
        expr=TEXT,
        **{"for": DURATION},
        keep_firing_for=DURATION,
        labels=LABELS,
        annotations=LABELS,
    ),
    "oneOf": [{"required": ["record"]}, {"required": ["alert"]}],
}

SCHEMAS: Final = {
    "ServiceMonitor": _kind(
        _strict(
            "selector",
            "endpoints",
            selector=_strict("matchLabels", matchLabels=LABELS),
            namespaceSelector=_strict("matchNames", matchNames=_list(TEXT)),
            endpoints=_list(_ENDPOINT),
        )
    ),
    "PrometheusRule": _kind(
        _strict("groups", groups=_list(_strict("name", "rules", name=TEXT, interval=DURATION, rules=_list(_RULE))))
    ),
}
