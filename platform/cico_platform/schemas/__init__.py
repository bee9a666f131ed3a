"""One typed record and one Arrow schema per kind: clip, features, segment, tokens, ledger."""
