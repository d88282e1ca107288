def validate(event, context):
    """Refuses input that names no path."""
    if not event.get("inputPath"):
        raise ValueError("inputPath is missing")
    return {"inputPath": event["inputPath"], "valid": True}
