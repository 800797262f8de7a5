"""textmill turns web crawls into training data for language models, and trains on it.

Start with ``textmill demo`` on the command line; the parts are documented in their own modules. Importing this
package imports nothing else.
"""

__version__ = "0.1.0"
