def report(event, context):
    """Sums the run up in a sentence."""
    return {"summary": f"sales data from {event.get('inputPath')} was processed"}
