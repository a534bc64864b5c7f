"""What flask-smorest lacks: completing a documentation, and which application an Api is for."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_smorest import Api, Blueprint

CompleteOperation = Callable[[dict[str, Any], dict[str, Any], Flask], dict[str, Any]]


def on_document_operation(blueprint: Blueprint, complete: CompleteOperation) -> None:
    """Have a function complete the documentation of the blueprint's operations.

    flask-smorest's decorators document a view before the application is known. Its author names
    this list of functions as the way to extend that, without documenting it:
    https://github.com/marshmallow-code/flask-smorest/pull/123.

    Args:
        blueprint: The blueprint; to be called before it is registered.
        complete: Called for each operation with what is documented so far, with the responses that
            ``Blueprint.doc()`` was given, by status, which it may change in place, and with the
            application. It returns the documentation to go on with.
    """

    def prepare(doc: dict[str, Any], info: dict[str, Any], **context: Any) -> dict[str, Any]:
        manual: dict[str, Any] = info.setdefault("manual_doc", {})
        return complete(doc, manual.setdefault("responses", {}), context["app"])

    blueprint._prepare_doc_cbks.append(prepare)


def belongs_to(api: Api, app: Flask) -> bool:
    """Return whether the Api was initialised with the application; an Api does not say with which.

    flask-smorest keeps its Apis where extensions do, in a format that is not documented:
    https://flask.palletsprojects.com/en/stable/api/#flask.Flask.extensions.
    """
    apis = app.extensions.get("flask-smorest", {}).get("apis", {})
    return any(known["ext_obj"] is api for known in apis.values())
