//! Decides what the node agent does next about one Pod and its containers.
