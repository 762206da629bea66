"""What GetModelMetadata and GetModelStatus answer, as messages and as REST's JSON. Pure."""

from collections.abc import Sequence

from google.protobuf import json_format

from model_server._protos.tensorflow.core.protobuf import error_codes_pb2
from model_server._protos.tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2
from model_server.errors import InvalidArgumentError
from model_server.servable import Servable
from model_server.served_model import VersionStatus

SIGNATURE_FIELD = "signature_def"


def check_fields(fields: Sequence[str]) -> None:
    """Refuse every request but one for the signatures.

    Raises:
        InvalidArgumentError: No field is asked for, or another one.
    """
    if not fields:
        raise InvalidArgumentError("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_FIELD:
            raise InvalidArgumentError(f"Metadata field {field} is not supported")


def render_metadata(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The model spec and the map of signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata[SIGNATURE_FIELD].Pack(_render_signatures(servable))
    return response


def _render_signatures(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.unserved.items():
        signatures.signature_def[name].CopyFrom(definition)
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature.definition)
    return signatures


def render_metadata_json(servable: Servable) -> dict[str, object]:
    """The same for REST: field names as in the proto, defaults printed, int64 as strings."""
    spec = {"name": servable.name, "signature_name": "", "version": str(servable.version)}
    signatures = json_format.MessageToDict(
        _render_signatures(servable), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {"model_spec": spec, "metadata": {SIGNATURE_FIELD: signatures}}


def render_status(statuses: Sequence[VersionStatus]) -> get_model_status_pb2.GetModelStatusResponse:
    """One entry for each version."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add()
        entry.version = status.version
        entry.state = getattr(get_model_status_pb2.ModelVersionStatus, status.state)
        entry.status.error_code = error_codes_pb2.UNKNOWN if status.error_message else error_codes_pb2.OK
        entry.status.error_message = status.error_message
    return response


def render_status_json(statuses: Sequence[VersionStatus]) -> dict[str, object]:
    """The same for REST."""
    entries = [
        {
            "version": str(status.version),
            "state": status.state,
            "status": {
                "error_code": "UNKNOWN" if status.error_message else "OK",
                "error_message": status.error_message,
            },
        }
        for status in statuses
    ]
    return {"model_version_status": entries}
