def validate(event, context):
    """Rejects input without a path."""
    if not event.get("inputPath"):
        raise ValueError("inputPath is missing")
    return {"inputPath": event["inputPath"], "valid": True}
