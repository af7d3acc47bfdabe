"""Makes a table of trained architectures for any data set: plans it, times it, trains, resumes and
judges.
"""
