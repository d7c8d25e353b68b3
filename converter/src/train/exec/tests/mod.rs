//! Every operator against plain loops, its gradients against finite differences, and whole networks.
