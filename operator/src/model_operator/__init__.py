"""The operator of compressed models. What is here today: the API, its CRD, and the recipe that a model asks for."""
