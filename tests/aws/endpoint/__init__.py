"""An AWS endpoint on loopback: ministack, with its CloudFormation brought closer to what AWS documents.

Each module patches one behaviour, in functions marked `@patch`; `python -m endpoint` applies them and serves. The private
functions of one ministack release are patched, so its version is pinned in requirements.txt.
"""
