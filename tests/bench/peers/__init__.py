"""The servers that mlorch is measured against, each as its own documentation starts it."""
