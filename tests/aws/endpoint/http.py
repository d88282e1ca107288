"""Requests that ministack does not support: control of faults and delays, and Cloud Control's reads of generic types."""

import json
import os
import re

from ministack import app as ministack
from ministack.core.responses import set_request_account_id, set_request_region

from . import faults, generic, inventory

CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/([^/]+)/")


def wrap(inner):
    """Returns an ASGI application that answers these requests and forwards all others to `inner`."""

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return await inner(scope, receive, send)
        path = scope["path"]
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        target = headers.get("x-amz-target", "")
        if path == "/_ministack/reset":
            faults.reset()
            generic.RESOURCES._data.clear()
        if path.startswith("/_endpoint/"):
            answer = _control(path, scope["method"], await _body(receive))
            return await _reply(send, *answer)
        if target.startswith("CloudApiService."):
            credential = CREDENTIAL.search(headers.get("authorization", ""))
            if credential:
                set_request_account_id(credential.group(1))
                set_request_region(credential.group(2))
            answer = _cloud_control(target.split(".")[1], json.loads(await _body(receive) or b"{}"))
            return await _reply(send, *answer)
        return await inner(scope, receive, send)

    return application


def serve():
    """Serves until the process ends."""
    ministack.app = wrap(ministack.app)
    ministack.main()


def _control(path, method, body):
    """Answers a control request. GET lists, POST adds a fault or sets a delay, and DELETE clears."""
    if path == "/_endpoint/faults":
        if method == "POST":
            faults.FAULTS.append(json.loads(body))
        if method == "DELETE":
            faults.FAULTS.clear()
        return 200, faults.FAULTS
    if path == "/_endpoint/delay":
        if method == "POST":
            delay = json.loads(body)
            faults.DELAYS[delay.get("account", "*")] = float(delay["seconds"])
        if method == "DELETE":
            faults.DELAYS.clear()
            faults.DELAYS["*"] = 0.0
        return 200, faults.DELAYS
    if path == "/_endpoint/resources":
        return 200, list(generic.RESOURCES._data.values())
    if path.startswith("/_endpoint/inventory/"):
        return 200, inventory.of_account(path.rsplit("/", 1)[1])
    if path == "/_endpoint/process":
        return 200, os.getpid()
    return 404, f"no {path}"


def _cloud_control(operation, request):
    resource_type, identifier = request.get("TypeName", ""), request.get("Identifier")
    resources = [r for r in generic.RESOURCES.values() if r["Type"] == resource_type]
    if operation == "ListResources":
        return 200, {"TypeName": resource_type, "ResourceDescriptions": list(map(_description, resources))}
    if operation == "GetResource":
        for resource in resources:
            if resource["Id"] == identifier:
                return 200, {"TypeName": resource_type, "ResourceDescription": _description(resource)}
        text = f"Resource of type '{resource_type}' with identifier '{identifier}' was not found."
        return 400, {"__type": "ResourceNotFoundException", "message": text}
    return 400, {"__type": "UnsupportedActionException", "message": operation}


def _description(resource):
    attributes = {name: value for name, value in resource["Attributes"].items() if "." not in name}
    properties = json.dumps(resource["Properties"] | attributes, default=str)
    return {"Identifier": resource["Id"], "Properties": properties}


async def _body(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _reply(send, status, value):
    headers = [(b"content-type", b"application/x-amz-json-1.0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value, default=str).encode()})
