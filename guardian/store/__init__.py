"""What Guardian keeps beside the log, in the same database: the state (slots, tokens, jobs) and the index of records.

State tables (`state_`) are kept and backed up with the log. Index tables (`index_`) hold nothing that the log does not
say better: they find records, and `guardian evidence reindex` makes them anew.
"""
