"""Applies the properties of AWS::S3::Bucket that ministack ignores, rejects the deletion of a bucket with objects, and rejects
a request whose expected owner is not the bucket's owner."""

import re
from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.core.responses import new_uuid
from ministack.services import s3
from ministack.services.cloudformation import provisioners

from .patching import patch

# The names in CloudFormation, with those in S3.
EXPIRATION = {
    "ExpirationInDays": "Days",
    "ExpirationDate": "Date",
    "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker",
}
TRANSITION = {"TransitionInDays": "Days", "TransitionDate": "Date", "StorageClass": "StorageClass"}


@patch
def s3_bucket():
    """Adds the missing configurations, versioning and logging to the handler of buckets."""
    provisioners._S3_BUCKET_CONFIGURATIONS = tuple(
        (name, to_xml, _checked(put, name), delete)
        for name, to_xml, put, delete in (
            *provisioners._S3_BUCKET_CONFIGURATIONS,
            ("LifecycleConfiguration", _lifecycle, s3._put_bucket_lifecycle, s3._delete_bucket_lifecycle),
            ("BucketEncryption", _encryption, s3._put_bucket_encryption, s3._delete_bucket_encryption),
            ("Tags", _tagging, s3._put_bucket_tagging, s3._delete_bucket_tagging),
            ("OwnershipControls", _ownership, s3._put_bucket_ownership_controls, s3._delete_bucket_ownership_controls),
        )
    )
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")
    before = provisioners._s3_create, provisioners._s3_update, provisioners._s3_delete
    create_before, update_before, delete_before = before

    def configure(name, properties):
        status = (properties.get("VersioningConfiguration") or {}).get("Status")
        if status:
            s3._bucket_versioning[name] = status
        logging = properties.get("LoggingConfiguration")
        if logging:
            _checked(s3._put_bucket_logging, "LoggingConfiguration")(name, _logging(name, logging))

    def create(logical_id, properties, stack_name):
        name, attributes = create_before(logical_id, properties, stack_name)
        try:
            configure(name, properties)
        except Exception:
            delete_before(name, properties)
            raise
        return name, attributes

    def update(physical_id, old, new, stack_name):
        name, attributes = update_before(physical_id, old, new, stack_name)
        configure(name, new)
        return name, attributes

    def delete(physical_id, properties):
        bucket = s3._buckets.get(physical_id)
        if bucket and bucket.get("objects"):
            raise ValueError(
                "The bucket you tried to delete is not empty (Service: S3, Status Code: 409, "
                f"Request ID: {new_uuid()}, Extended Request ID: null)"
            )
        delete_before(physical_id, properties)

    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"].update(create=create, update=update, delete=delete)
    provisioners._s3_create = create


@patch
def expected_bucket_owner():
    """Checks `x-amz-expected-bucket-owner`: a bucket of another account answers 403, regardless of its policy."""
    scope_before = s3._apply_bucket_scope

    def scope(method, bucket, key, headers, query_params, body=b"", internal=False):
        expected = headers.get("x-amz-expected-bucket-owner")
        owner = s3._bucket_owner_account(bucket) if bucket else None
        if expected and owner and owner != expected:
            return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}" if key else f"/{bucket}")
        return scope_before(method, bucket, key, headers, query_params, body, internal)

    s3._apply_bucket_scope = scope


def _checked(put, name):
    """Wraps a call to S3 so that an error of S3 becomes an error of the resource."""

    def checked(bucket, body):
        answer = put(bucket, body)
        if not isinstance(answer, tuple) or answer[0] < 400:
            return
        text = answer[2] if isinstance(answer[2], str) else answer[2].decode()
        message = re.search(r"<Message>(.*?)</Message>", text)
        code = re.search(r"<Code>(.*?)</Code>", text)
        raise ValueError(
            f"{message.group(1) if message else text} "
            f"(Service: S3, Status Code: {answer[0]}, Error Code: {code.group(1) if code else name})"
        )

    return checked


def _lifecycle(configuration):
    root = Element("LifecycleConfiguration", xmlns=s3.S3_NS)
    for rule in configuration.get("Rules") or []:
        _lifecycle_rule(_add(root, "Rule"), rule)
    return tostring(root)


def _lifecycle_rule(element, rule):
    if rule.get("Id"):
        _add(element, "ID", rule["Id"])
    _lifecycle_filter(_add(element, "Filter"), rule)
    _add(element, "Status", rule.get("Status"))
    if any(name in rule for name in EXPIRATION):
        inner = _add(element, "Expiration")
        for name, tag in EXPIRATION.items():
            if name in rule:
                _add(inner, tag, rule[name])
    for transition in (rule.get("Transitions") or []) + [rule[name] for name in ("Transition",) if rule.get(name)]:
        inner = _add(element, "Transition")
        for name, tag in TRANSITION.items():
            if name in transition:
                _add(inner, tag, transition[name])
    _noncurrent_versions(element, rule)
    if rule.get("AbortIncompleteMultipartUpload"):
        inner = _add(element, "AbortIncompleteMultipartUpload")
        _add(inner, "DaysAfterInitiation", rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])


def _lifecycle_filter(element, rule):
    tags, prefix = rule.get("TagFilters") or [], rule.get("Prefix")
    sizes = {name: rule[name] for name in ("ObjectSizeGreaterThan", "ObjectSizeLessThan") if rule.get(name) is not None}
    conditions = len(tags) + len(sizes) + (prefix is not None)
    if conditions > 1:
        element = _add(element, "And")
    if prefix is not None or conditions == 0:
        _add(element, "Prefix", prefix or "")
    _add_tags(element, tags)
    for name, size in sizes.items():
        _add(element, name, size)


def _noncurrent_versions(element, rule):
    expiration = rule.get("NoncurrentVersionExpiration")
    if not expiration and "NoncurrentVersionExpirationInDays" in rule:
        expiration = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if expiration:
        inner = _add(element, "NoncurrentVersionExpiration")
        _add(inner, "NoncurrentDays", expiration["NoncurrentDays"])
        if "NewerNoncurrentVersions" in expiration:
            _add(inner, "NewerNoncurrentVersions", expiration["NewerNoncurrentVersions"])
    for transition in rule.get("NoncurrentVersionTransitions") or []:
        inner = _add(element, "NoncurrentVersionTransition")
        _add(inner, "NoncurrentDays", transition["TransitionInDays"])
        _add(inner, "StorageClass", transition["StorageClass"])
        if "NewerNoncurrentVersions" in transition:
            _add(inner, "NewerNoncurrentVersions", transition["NewerNoncurrentVersions"])


def _encryption(configuration):
    root = Element("ServerSideEncryptionConfiguration", xmlns=s3.S3_NS)
    for rule in configuration.get("ServerSideEncryptionConfiguration") or []:
        element = _add(root, "Rule")
        default = rule.get("ServerSideEncryptionByDefault") or {}
        inner = _add(element, "ApplyServerSideEncryptionByDefault")
        _add(inner, "SSEAlgorithm", default.get("SSEAlgorithm", "AES256"))
        if default.get("KMSMasterKeyID"):
            _add(inner, "KMSMasterKeyID", default["KMSMasterKeyID"])
        _add(element, "BucketKeyEnabled", str(rule.get("BucketKeyEnabled", False)).lower())
    return tostring(root)


def _tagging(tags):
    root = Element("Tagging", xmlns=s3.S3_NS)
    _add_tags(_add(root, "TagSet"), tags or [])
    return tostring(root)


def _ownership(configuration):
    root = Element("OwnershipControls", xmlns=s3.S3_NS)
    for rule in configuration.get("Rules") or []:
        _add(_add(root, "Rule"), "ObjectOwnership", rule["ObjectOwnership"])
    return tostring(root)


def _logging(bucket, configuration):
    root = Element("BucketLoggingStatus", xmlns=s3.S3_NS)
    enabled = _add(root, "LoggingEnabled")
    _add(enabled, "TargetBucket", configuration.get("DestinationBucketName") or bucket)
    _add(enabled, "TargetPrefix", configuration.get("LogFilePrefix", ""))
    return tostring(root)


def _add_tags(parent, tags):
    for tag in tags:
        element = _add(parent, "Tag")
        _add(element, "Key", tag["Key"])
        _add(element, "Value", tag["Value"])


def _add(parent, tag, text=None):
    element = SubElement(parent, tag)
    if text is not None:
        element.text = str(text).lower() if isinstance(text, bool) else str(text)
    return element
