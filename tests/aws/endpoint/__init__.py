"""An AWS endpoint on loopback: ministack, with patches that make its CloudFormation follow AWS's documentation.

Each module patches one behavior, in functions marked `@patch`. `python -m endpoint` applies them and serves requests. The
patches replace private functions of one ministack release, so requirements.txt pins its version.
"""
