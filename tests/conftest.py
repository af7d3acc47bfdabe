"""One thread for the small networks of the tests: they are faster with one, and two test runs side
by side do not fight.
"""

import torch

torch.set_num_threads(1)
