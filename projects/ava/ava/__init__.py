"""AVA action detection on Hiera's video stage features: data, model, training, evaluation."""
