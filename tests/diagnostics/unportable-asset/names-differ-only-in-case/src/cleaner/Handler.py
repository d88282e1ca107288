import handler
