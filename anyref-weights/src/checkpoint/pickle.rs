//! A reader of PyTorch's pickles.
