"""What a frame means: messages, OCPP versions, features, validation and signatures."""
