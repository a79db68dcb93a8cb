"""Single sign-on: people for whom an identity provider vouches by OpenID Connect."""
