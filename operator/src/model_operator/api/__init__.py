"""What users write: the types, and the CRD and reference page generated from them."""
