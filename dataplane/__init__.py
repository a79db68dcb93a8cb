"""What answers: gateway, workers, agent, and the shapes they exchange with the site.

No Django; imports nothing of the site's apps.
"""
