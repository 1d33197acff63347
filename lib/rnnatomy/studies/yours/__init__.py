"""A network from elsewhere, asked what the chapters ask ours.

``asked`` takes the owner's sequences and what the network should answer to them. ``readout``,
``gates``, ``states`` and ``ends`` each ask a network one kind of question, as a job of the engine;
``study`` runs them for a network, its control and its checkpoints; ``page`` puts what came of it
into rows.
"""
