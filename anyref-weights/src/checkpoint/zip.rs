//! The zip archive of `torch.save`.
