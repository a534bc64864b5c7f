# What leads_service uses of flask-smorest, which has no type hints.
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, TypeVar

from apispec import APISpec
from flask import Blueprint as FlaskBlueprint
from flask import Flask
from flask.typing import ResponseReturnValue
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

_View = TypeVar("_View", bound=Callable[..., Any])

def abort(http_status_code: int, exc: Exception | None = None, **kwargs: Any) -> NoReturn: ...

class _Converter:
    def add_attribute_function(self, func: Callable[..., dict[str, Any]]) -> None: ...

class _MarshmallowPlugin:
    converter: _Converter  # once the Api is initialised

class Api:
    ERROR_SCHEMA: ClassVar[type[Schema]]
    DEFAULT_ERROR_RESPONSE_NAME: ClassVar[str | None]
    spec: APISpec
    ma_plugin: _MarshmallowPlugin
    def __init__(
        self,
        app: Flask | None = None,
        *,
        spec_kwargs: Mapping[str, Any] | None = None,
        config_prefix: str = "",
    ) -> None: ...
    def init_app(self, app: Flask, *, spec_kwargs: Mapping[str, Any] | None = None) -> None: ...
    def register_blueprint(
        self,
        blp: Blueprint,
        *,
        parameters: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None: ...
    def register_converter(
        self,
        converter: type[BaseConverter],
        func: Callable[[BaseConverter], Mapping[str, Any]],
    ) -> None: ...
    def handle_http_exception(self, error: HTTPException) -> ResponseReturnValue: ...

class Blueprint(FlaskBlueprint):
    ARGUMENTS_PARSER: ClassVar[FlaskParser]
    description: str
    # Private; for leads_service._compat.smorest.
    _prepare_doc_cbks: list[Callable[..., dict[str, Any]]]
    def __init__(
        self, name: str, import_name: str, *, description: str = "", **options: Any
    ) -> None: ...
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        provide_automatic_options: bool | None = None,
        *,
        parameters: Sequence[Mapping[str, Any]] | None = None,
        tags: Sequence[str] | None = None,
        **options: Any,
    ) -> None: ...
    def route(
        self,
        rule: str,
        *,
        parameters: Sequence[Mapping[str, Any]] | None = None,
        tags: Sequence[str] | None = None,
        **options: Any,
    ) -> Callable[[_View], _View]: ...
    def arguments(
        self,
        schema: Schema | type[Schema],
        *,
        location: str = "json",
        content_type: str | None = None,
        required: bool = True,
        description: str | None = None,
        example: Mapping[str, Any] | None = None,
        examples: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Callable[[_View], _View]: ...
    def response(
        self,
        status_code: int,
        schema: Schema | type[Schema] | None = None,
        *,
        content_type: str | None = None,
        description: str | None = None,
        example: Mapping[str, Any] | None = None,
        examples: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Callable[[_View], _View]: ...
    @staticmethod
    def doc(**kwargs: Any) -> Callable[[_View], _View]: ...
    def register_views_in_doc(
        self,
        api: Api,
        app: Flask,
        spec: APISpec,
        *,
        name: str,
        parameters: Sequence[Mapping[str, Any]] | None,
    ) -> None: ...
