def profile(event, context):
    """Reports which data will be processed."""
    return {"inputPath": event.get("inputPath"), "profiled": True}
