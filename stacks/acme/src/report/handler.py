def report(event, context):
    """Summarizes the run in one sentence."""
    return {"summary": f"sales data from {event.get('inputPath')} was processed"}
