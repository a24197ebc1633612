"""What tests look at inside the library. These modules alone know it, so that a redesign has one place to adapt."""
