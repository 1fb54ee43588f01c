#!/bin/sh
# was made on another machine
