package main

import (
	"fmt"
	"strings"
)

const (
	envPrefix     = "SIMPLON_"
	envConfigFile = envPrefix + "CONFIG"
	envTestPrefix = envPrefix + "TEST_"       // read by tests of this project
	envScreens    = envPrefix + "SCREENSHOTS" // read by tests of this project
	fileSuffix    = "_FILE"
)

// environment is what the SIMPLON_ variables say, checked for names only.
type environment struct {
	configFile string
	set        map[string]setting // by key of the option
}

// setting is one variable that sets an option, directly or through a file.
type setting struct {
	variable string
	value    string
	fromFile bool
}

// readEnvironment sorts the SIMPLON_ variables. A variable that sets nothing is
// an error, because it is a misspelt one.
func readEnvironment(env []string) (environment, []error) {
	vars := environment{set: map[string]setting{}}
	var errs []error
	options := configOptions(&Config{})
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, envTestPrefix) || name == envScreens {
			continue
		}
		if name == envConfigFile {
			vars.configFile = value
			continue
		}
		o, fromFile, ok := findVariable(options, name)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: no key of the configuration has this name; config.example.yaml lists them all", name))
			continue
		}
		if other, twice := vars.set[o.key]; twice && other.variable != name {
			errs = append(errs, fmt.Errorf("%s: %s is set as well; keep one of them", name, other.variable))
			continue
		}
		vars.set[o.key] = setting{variable: name, value: value, fromFile: fromFile}
	}
	return vars, errs
}

func findVariable(options []option, name string) (o option, fromFile, ok bool) {
	for _, o := range options {
		if o.variable() == name {
			return o, false, true
		}
		if o.isSecret() && o.variable()+fileSuffix == name {
			return o, true, true
		}
	}
	return option{}, false, false
}

// applyEnvironment sets what the variables say, in the order of the table.
func (c *Config) applyEnvironment(vars environment) []error {
	var errs []error
	for _, o := range configOptions(c) {
		s, ok := vars.set[o.key]
		if !ok {
			continue
		}
		if s.fromFile {
			text, perm, err := readSmallFile(s.value)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.variable, err))
				continue
			}
			c.source.secrets = append(c.source.secrets, secretFile{at: s.variable, path: s.value, perm: perm})
			s.value = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		}
		if err := o.set(s.value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", s.variable, o.key, err))
			continue
		}
		c.source.at[o.key] = s.variable
	}
	return errs
}
