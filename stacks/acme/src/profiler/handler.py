def profile(event, context):
    """Tells how much there is to process."""
    return {"inputPath": event.get("inputPath"), "profiled": True}
