"""A module for tests of sagas: trips, whose parts are booked one after the other."""
