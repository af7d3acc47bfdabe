"""What makes two architectures the same: an expert's number carries no meaning."""

from automtl.spaces.architecture import Architecture


def form(architecture: Architecture) -> object:
    """What is equal for architectures that differ in the order of their experts only, or in experts
    that no task uses.
    """
    chosen = architecture.chosen or ()
    users = [tuple(i in experts for experts in chosen) for i in range(len(architecture.experts))]
    used = [
        ((expert.level, expert.owner, expert.task), expert.blocks, by)
        for expert, by in zip(architecture.experts, users, strict=True)
        if any(by) or not chosen
    ]
    return (
        architecture.interaction,
        architecture.sharing.kind,
        tuple(sorted(used, key=repr)),
    )
