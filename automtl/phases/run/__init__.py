"""What every phase needs: session, device, data, checkpoints, folder, resume, faults."""
