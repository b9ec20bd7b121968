-- Text search dictionaries and configurations.

## dictionary and configuration added
create text search configuration old (copy = simple);
=>
create text search dictionary d (template = simple, accept = false);
create text search configuration c (copy = english);
alter text search configuration c alter mapping for word with d, simple;
alter text search configuration old alter mapping for word with d;
create table t (a text);
create index i on t using gin (to_tsvector('c', a));

## dictionary and configuration dropped
:roles
create text search dictionary "D" (template = snowball, language = 'english', stopwords = 'english');
create text search dictionary plain (template = simple);
create text search configuration "C" (parser = "default");
alter text search configuration "C" add mapping for word, "asciiword" with "D", plain, pg_catalog.simple;
create text search configuration empty (parser = "default");
create table t (a text);
create index i on t using gin (to_tsvector('"C"', a));
comment on text search dictionary "D" is 'D';
comment on text search configuration "C" is 'C';
alter text search dictionary "D" owner to reader;
alter text search configuration "C" owner to reader;
=>
drop text search configuration "C" cascade;
drop text search configuration empty;
drop text search dictionary "D";
drop text search dictionary plain;

## dictionary's options changed
create text search dictionary d (template = simple, accept = false, stopwords = english);
create text search dictionary e (template = snowball, language = 'german');
create text search dictionary f (template = synonym, synonyms = 'synonym_sample', casesensitive = 1);
create text search configuration c (copy = simple);
alter text search configuration c alter mapping for word with d;
create table t (a text);
create index i on t using gin (to_tsvector('c', a));
=>
alter text search dictionary d (accept, stopwords);
alter text search dictionary e (language = 'english', stopwords = 'english');
alter text search dictionary f (casesensitive);

## dictionary of another template
create text search dictionary d (template = simple);
create text search configuration c (copy = simple);
alter text search configuration c alter mapping for word with d, simple;
=>
alter text search configuration c alter mapping for word with simple;
drop text search dictionary d;
create text search dictionary d (template = snowball, language = 'german');
alter text search configuration c add mapping for protocol with simple;
alter text search configuration c alter mapping for word with d, simple;

## mappings changed
create text search dictionary d (template = simple);
create text search configuration c (copy = simple);
alter text search configuration c alter mapping for word with d, simple;
create table t (a text);
create index i on t using gin (to_tsvector('c', a));
=>
alter text search configuration c drop mapping for word;
alter text search configuration c alter mapping for int with d;

## mappings dropped and added
create text search configuration c (parser = "default");
create text search configuration d (copy = simple);
=>
alter text search configuration c add mapping for word with simple;
alter text search configuration d drop mapping for asciiword, word, numword, email, url, host, sfloat, version, hword_numpart, hword_part,
    hword_asciipart, numhword, asciihword, hword, url_path, file, "float", "int", uint;

## dictionary and configuration renamed and moved
:roles
create schema s;
create text search dictionary d (template = simple);
create text search configuration c (copy = simple);
alter text search configuration c alter mapping for word with d;
=>
alter text search dictionary d rename to e;
alter text search dictionary e set schema s;
alter text search configuration c rename to d;
alter text search configuration d set schema s;
alter text search configuration s.d owner to reader;
